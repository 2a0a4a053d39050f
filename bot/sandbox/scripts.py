"""What is run inside of a sandbox to find a way out of it: constant scripts, whose output says what worked.

Shell scripts use what a shell has built in as far as possible, since an image may have little else.
"""

CAPABILITIES = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")

ENVIRONMENT = """
export -p
cat /proc/self/environ /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>/dev/null
:
"""
READ = 'for file; do cat "$file" 2>/dev/null; done; :'
EXISTS = 'for file; do if [ -e "$file" ]; then echo "$file"; fi; done; :'
OPENS = 'for file; do if ( : <"$file" ) 2>/dev/null || ( : >>"$file" ) 2>/dev/null; then echo "$file"; fi; done; :'
WRITABLE = 'for file; do if ( : >>"$file" ) 2>/dev/null; then echo "$file"; fi; done; :'
WRITES = """
for folder; do
    if ( : >"$folder/.proof.$$" ) 2>/dev/null; then echo "$folder"; rm -f "$folder/.proof.$$"; fi
done
:
"""
SEARCH = """
grep -rshF -e "$2" README.md | head -n 1
grep -rlsF -e "$1" . "$HOME" /tmp /etc /var
git config --list 2>/dev/null | grep -F -e "$1"
:
"""
HOOKS = 'for file in .git/hooks/*; do if [ -x "$file" ]; then echo "$file"; fi; done; :'
STATUS = "while IFS= read -r line; do printf '%s\\n' \"$line\"; done </proc/self/status"
FILTERS = """
for folder in /proc/self /proc/[0-9]*; do
    uid='' mode=none
    while read -r name first rest; do
        case "$name" in Uid:) uid=$first;; Seccomp:) mode=$first;; esac
    done <"$folder/status"
    if [ -n "$uid" ]; then echo "${folder#/proc/}" "$uid" "$mode"; fi
done 2>/dev/null
:
"""
STARTS = """
for file in /proc/[0-9]*/stat; do
    if IFS= read -r line <"$file"; then set -- ${line##*)}; echo "${20}"; fi
done 2>/dev/null
:
"""
NODES = """
for folder in . /tmp /dev "$HOME"; do
    mknod "$folder/block.$$" b 8 0 && echo "block device in $folder"
    mknod "$folder/char.$$" c 1 1 && echo "character device in $folder"
    rm -f "$folder/block.$$" "$folder/char.$$"
done 2>/dev/null
:
"""
NODES_TOO = """
import os, stat
for folder in (".", "/tmp", "/dev"):
    for kind, number in ((stat.S_IFBLK, os.makedev(8, 0)), (stat.S_IFCHR, os.makedev(1, 1))):
        try:
            os.mknod(folder + "/node", kind | 0o600, number)
            print("device in", folder)
            os.unlink(folder + "/node")
        except OSError:
            pass
"""
BECOME_ROOT = """
is_root() { case "$1" in 0) echo "root by $2";; esac; }
is_root "$(su -c 'id -u' </dev/null 2>/dev/null)" su
for program in sudo doas pkexec; do
    is_root "$($program id -u </dev/null 2>/dev/null)" $program
done
if cp /bin/sh shell.$$ 2>/dev/null && chmod 6755 shell.$$ && chown 0:0 shell.$$ 2>/dev/null; then
    echo "root by a setuid file"
fi
rm -f shell.$$
python3 -I -S -c 'import os; os.setuid(0); print("root by setuid()")' 2>/dev/null
:
"""
UNSHARE = """
if command -v unshare >/dev/null; then
    echo tried
    for kind in -U -Ur -m -n -p -i -u; do
        if unshare $kind true; then echo "unshare $kind"; fi
    done
fi 2>/dev/null
if mount -t tmpfs none /mnt 2>/dev/null; then echo "mounted a tmpfs"; fi
if chroot / true 2>/dev/null; then echo chroot; fi
:
"""
UNSHARE_TOO = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
for name, flag in (("user", 0x10000000), ("mount", 0x20000), ("network", 0x40000000), ("pid", 0x20000000)):
    if os.fork() == 0:
        if libc.unshare(flag) == 0:
            print("a new namespace:", name, flush=True)
        os._exit(0)
    os.wait()
for source, kind in ((b"none", b"tmpfs"), (b"proc", b"proc"), (b"cgroup", b"cgroup2")):
    if libc.mount(source, b"/mnt", kind, 0, None) == 0:
        print("mounted", kind.decode())
"""
TRACE = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
tried = 0
for pid in (each for each in os.listdir("/proc") if each.isdigit()):
    try:
        if os.stat("/proc/" + pid).st_uid == os.getuid():
            continue
    except OSError:
        continue
    tried += 1
    if libc.ptrace(16, int(pid), 0, 0) == 0:
        libc.ptrace(17, int(pid), 0, 0)
        print("traced process", pid)
    try:
        open("/proc/%s/mem" % pid, "rb").close()
        print("traced memory of", pid)
    except OSError:
        pass
print("refused for %d" % tried if tried else "there is none")
"""
CALLS = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
numbers = {
    "x86_64": {"add_key": 248, "keyctl": 250, "bpf": 321, "perf_event_open": 298, "init_module": 175,
               "kexec_load": 246, "open_by_handle_at": 304, "swapon": 167, "reboot": 169, "settimeofday": 164},
    "aarch64": {"add_key": 217, "keyctl": 219, "bpf": 280, "perf_event_open": 241, "init_module": 105,
                "kexec_load": 104, "open_by_handle_at": 265, "swapon": 224, "reboot": 142, "settimeofday": 170},
}.get(os.uname().machine, {})
for name, number in numbers.items():
    args = {"add_key": (b"user", b"proof", b"x", 1, -3), "keyctl": (0, -3, 1)}.get(name, (0, 0, 0, 0, 0))
    ctypes.set_errno(0)
    done = libc.syscall(number, *args)
    # EPERM, EACCES, ENOSYS: refused before its arguments mattered.
    print("refused" if done == -1 and ctypes.get_errno() in (1, 13, 38) else "done", name)
"""
NETWORK = """
import os, socket, struct, sys
kind, port, path, abstract = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
targets = ["127.0.0.1", "127.0.0.53", "172.17.0.1", "10.0.2.2", "192.168.65.2", "169.254.169.254", "0.0.0.0"]
try:
    for line in open("/proc/net/route").read().splitlines()[1:]:
        targets.append(socket.inet_ntoa(struct.pack("<I", int(line.split()[2], 16))))
except (OSError, ValueError):
    pass
count = 0
def attempt(what, family, type_, number, act):
    global count
    count += 1
    try:
        with socket.socket(family, type_, number) as each:
            each.settimeout(0.2)
            if act(each) is not False:
                print("reached", what, flush=True)
    except OSError:
        pass
def call(*address):
    return lambda each: each.connect(address)
question = b"\\x12\\x34\\x01\\0\\0\\x01" + bytes(6) + b"\\x07example\\x03com\\0\\0\\x01\\0\\x01"
def query(address):
    def act(each):
        each.sendto(question, address)
        each.recv(64)
    return act
inet, inet6, unix = socket.AF_INET, socket.AF_INET6, socket.AF_UNIX
stream, datagram, raw = socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW
if kind == "tcp":
    for host in targets:
        attempt("tcp " + host, inet, stream, 0, call(host, port))
    for host, other in (("169.254.169.254", 80), ("1.1.1.1", 443), ("8.8.8.8", 53), ("127.0.0.1", 2375)):
        attempt("tcp %s:%d" % (host, other), inet, stream, 0, call(host, other))
elif kind == "udp":
    for host in targets:
        attempt("udp " + host, inet, datagram, 0, lambda each: each.sendto(b"x", (host, port)) and False)
        attempt("dns " + host, inet, datagram, 0, query((host, 53)))
    for host in ("1.1.1.1", "8.8.8.8"):
        attempt("dns " + host, inet, datagram, 0, query((host, 53)))
elif kind == "raw":
    for host in ("::1", "::ffff:127.0.0.1", "fe80::1", "2606:4700:4700::1111"):
        attempt("tcp " + host, inet6, stream, 0, call(host, port))
        attempt("udp " + host, inet6, datagram, 0, lambda each: each.sendto(b"x", (host, port)) and False)
    attempt("raw icmp", inet, raw, 1, lambda each: True)
    attempt("raw icmp6", inet6, raw, 58, lambda each: True)
    attempt("raw tcp", inet, raw, 6, lambda each: True)
    attempt("packet", socket.AF_PACKET, raw, 768, lambda each: True)
    attempt("vsock", 40, stream, 0, call(2, 1024))
else:
    attempt("unix " + path, unix, stream, 0, lambda each: each.connect(path))
    attempt("abstract", unix, stream, 0, lambda each: each.connect("\\0" + abstract))
    attempt("docker.sock", unix, stream, 0, lambda each: each.connect("/var/run/docker.sock"))
print("tried %d ways" % count)
"""
MEMORY = 'head -c "$1" /dev/zero | tail -n 1 >/dev/null'
"""`tail` keeps a whole line, and zeros have no end of line."""
PIDS = 'i=0; while [ "$i" -lt "$1" ]; do sleep 5 & i=$((i+1)); done; echo "all $i"'
DISK = """
i=0
while [ "$i" -lt "$1" ]; do head -c 4194304 /dev/zero >>fill || exit 1; i=$((i+4)); sleep 0.02; done
echo "all $i"
"""
DAEMON = """
trap '' TERM HUP INT
( trap '' TERM HUP INT; exec 0<&- 1>&- 2>&-; while :; do sleep 1; done ) &
if command -v setsid >/dev/null; then setsid sh -c "trap '' TERM HUP INT; : $1; while :; do sleep 1; done" & fi
echo started
while :; do sleep 1; done
"""
COMMANDS = "for file in /proc/[0-9]*/cmdline; do tr '\\0' ' ' <\"$file\" && echo; done 2>/dev/null; :"
FLOOD = 'head -c "$1" /dev/zero; head -c "$1" /dev/zero >&2'
PLANT = 'ln -s "$1" link; ln -s / root; mkfifo pipe; echo fine >fine; :'
