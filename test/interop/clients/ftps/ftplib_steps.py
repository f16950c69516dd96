"""Does the steps of one job (a line of JSON on stdin) with ftplib over TLS; answers one JSON document."""
import ftplib
import json
import socket
import ssl
import sys
import threading
import time
from datetime import datetime, timezone

job = json.loads(sys.stdin.readline())
door = job["door"]
way = door["way"]
context = ssl.create_default_context(cafile=door["caFile"])
# It is told an address; the certificate is for a name.
context.check_hostname = False
version = ssl.TLSVersion.TLSv1_2 if way["tls"] == "1.2" else ssl.TLSVersion.TLSv1_3
context.minimum_version = context.maximum_version = version


class Ftp(ftplib.FTP_TLS):
    def connect(self, host, port):
        self.host, self.port = host, port
        self.sock = socket.create_connection((host, port), 60)
        self.af = self.sock.family
        if way["implicit"]:
            self.sock = self.context.wrap_socket(self.sock)
        self.file = self.sock.makefile("r", encoding=self.encoding)
        self.welcome = self.getresp()

    def makepasv(self):
        if way["passive"] == "EPSV":
            return ftplib.parse229(self.sendcmd("EPSV"), self.sock.getpeername())
        return super().makepasv()

    def ntransfercmd(self, cmd, rest=None):
        if not job["resumes"]:
            return super().ntransfercmd(cmd, rest)
        connection, size = ftplib.FTP.ntransfercmd(self, cmd, rest)
        return self.context.wrap_socket(connection, session=self.sock.session), size


def logged_in():
    ftp = Ftp(context=context, encoding="utf-8", timeout=60)
    ftp.connect(door["host"], door["port"])
    ftp.login(door["user"], door["password"], secure=not way["implicit"])
    ftp.prot_p()
    return ftp


def one(ftp, step, answer):
    do = step["do"]
    if do == "put":
        with open(step["local"], "rb") as source:
            rest = ftp.size(step["remote"]) if step.get("resume") else None
            source.seek(rest or 0)
            ftp.storbinary(f"STOR {step['remote']}", source, rest=rest)
    elif do == "get":
        with open(step["local"], "ab" if step.get("resume") else "wb") as target:
            ftp.retrbinary(f"RETR {step['remote']}", target.write, rest=target.tell() or None)
    elif do == "rename":
        ftp.rename(step["from"], step["to"])
    elif do == "list":
        answer["listings"].append([name for name, _ in ftp.mlsd(step["path"])])
    elif do == "stat":
        ftp.voidcmd("TYPE I")
        at = datetime.strptime(ftp.voidcmd(f"MDTM {step['path']}")[4:18], "%Y%m%d%H%M%S")
        modified = at.replace(tzinfo=timezone.utc).timestamp() * 1000
        answer["stats"].append({"size": ftp.size(step["path"]), "modifiedAtMs": modified})
    else:
        {"remove": ftp.delete, "mkdir": ftp.mkd, "rmdir": ftp.rmd}[do](step["path"])


def give_up(ftp, upload):
    """Sends slowly until it is told to stop, then says ABOR as its manual has it."""
    stop = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.readline(), stop.set())).start()
    ftp.voidcmd("TYPE I")
    with open(upload["local"], "rb") as source, ftp.transfercmd(f"STOR {upload['remote']}") as data:
        while not stop.is_set() and (block := source.read(16384)):
            data.sendall(block)
            time.sleep(len(block) / upload["bytesPerSecond"])
        reply = ftp.abort()
    if reply[:3] == "426":
        reply = ftp.getresp()
    assert reply[:3] == "226", reply
    # The session goes on.
    ftp.nlst("/Inbox")
    ftp.quit()


answer = {"ok": True, "output": "", "listings": [], "stats": []}
if "giveUp" in job:
    give_up(logged_in(), job["giveUp"])
    sys.exit()
try:
    ftp = logged_in()
    for each in job["steps"]:
        one(ftp, each, answer)
    ftp.quit()
except Exception as error:
    answer["ok"] = False
    answer["output"] = f"{type(error).__name__}: {error}"
print(json.dumps(answer))
