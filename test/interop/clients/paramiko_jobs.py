"""Does the steps of a job with Paramiko; one JSON document a line in, one out."""
import json
import os
import sys
import threading
import traceback

import paramiko


def connect(door):
    client = paramiko.SSHClient()
    client.load_host_keys(door["knownHosts"])
    client.set_missing_host_key_policy(paramiko.RejectPolicy())
    secret = {"password": door["password"]}
    if door["login"] == "key":
        secret = {"key_filename": door["keyFile"]}
    client.connect(
        door["host"], door["port"], door["user"], allow_agent=False, look_for_keys=False, timeout=60, **secret
    )
    if door.get("rekeyBytes"):
        # What its Transport compares with; 512 MiB unless changed.
        client.get_transport().packetizer.REKEY_BYTES = door["rekeyBytes"]
    return client


def put(sftp, step):
    if step.get("resume"):
        have = sftp.stat(step["remote"]).st_size
        with open(step["local"], "rb") as source, sftp.open(step["remote"], "ab") as target:
            source.seek(have)
            target.set_pipelined(True)
            while block := source.read(32768):
                target.write(block)
    else:
        sftp.put(step["local"], step["remote"])
    if step.get("times"):
        facts = os.stat(step["local"])
        sftp.utime(step["remote"], (facts.st_atime, facts.st_mtime))


def get(sftp, step):
    if not step.get("resume"):
        return sftp.get(step["remote"], step["local"])
    with sftp.open(step["remote"], "rb") as source, open(step["local"], "ab") as target:
        source.seek(target.tell())
        source.prefetch(source.stat().st_size)
        while block := source.read(32768):
            target.write(block)


def one(sftp, step, answer):
    do = step["do"]
    if do == "put":
        put(sftp, step)
    elif do == "get":
        get(sftp, step)
    elif do == "rename":
        sftp.rename(step["from"], step["to"])
    elif do == "list":
        answer["listings"].append(sftp.listdir(step["path"]))
    elif do == "stat":
        facts = sftp.stat(step["path"])
        answer["stats"].append({"size": facts.st_size, "modifiedAtMs": facts.st_mtime * 1000})
    else:
        {"remove": sftp.remove, "mkdir": sftp.mkdir, "rmdir": sftp.rmdir}[do](step["path"])


def together(client, steps, answer):
    failures = []

    def work(step):
        try:
            with client.open_sftp() as sftp:
                one(sftp, step, answer)
        except Exception:
            failures.append(traceback.format_exc(limit=0))

    threads = [threading.Thread(target=work, args=(step,)) for step in steps]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise RuntimeError("".join(failures))


def carry_out(job):
    answer = {"ok": True, "output": "", "listings": [], "stats": []}
    try:
        with connect(job["door"]) as client:
            if job["together"]:
                together(client, job["steps"], answer)
            else:
                with client.open_sftp() as sftp:
                    for step in job["steps"]:
                        one(sftp, step, answer)
    except Exception as error:
        answer["ok"] = False
        answer["output"] = f"{type(error).__name__}: {error}"
    return answer


paramiko.util.logging.getLogger("paramiko").setLevel(100)
for line in sys.stdin:
    print(json.dumps(carry_out(json.loads(line))), flush=True)
