"""Door 3: an App's webhooks over HTTP. Imports everything; FastAPI and uvicorn come with the extra `server`."""
