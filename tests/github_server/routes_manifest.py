"""The route of the manifest flow: a code becomes an App, once."""

import secrets

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from .call import Call, Route
from .exchange import Answer, not_found
from .records import App, now
from .shapes import app_json


def convert(call: Call) -> Answer:
    """The App with its key, which is shown this once; 404 for a code that was used or never given out."""
    manifest = call.world.manifests.pop(call.params["code"], None)
    if manifest is None:
        raise not_found()
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    slug = manifest.get("name", "a-bot").lower().replace(" ", "-")
    world, number = call.world, call.world.next_id()
    rights = manifest["default_permissions"]
    app = App(
        number, slug, world.user(f"{slug}[bot]"), world.user("octo"), rights, world.next_id(), now(), public.decode()
    )
    world.apps[number] = app
    hook = secrets.token_hex(20) if "hook_attributes" in manifest else None
    more = {"client_secret": secrets.token_hex(20), "webhook_secret": hook, "pem": pem.decode()}
    return Answer(201, app_json(world, app) | more)


ROUTES = [Route("POST", "/app-manifests/{code}/conversions", convert, "anyone")]
