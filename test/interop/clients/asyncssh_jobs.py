"""Does the steps of a job with AsyncSSH; one JSON document a line in, one out."""
import asyncio
import json
import sys

import asyncssh


def connect(door):
    options = {
        "known_hosts": door["knownHosts"],
        "config": None,
        "agent_path": None,
        "username": door["user"],
        "client_keys": [door["keyFile"]] if door["login"] == "key" else None,
    }
    if door["login"] == "password":
        options["password"] = door["password"]
    if door.get("rekeyBytes"):
        options["rekey_bytes"] = door["rekeyBytes"]
    return asyncssh.connect(door["host"], door["port"], **options)


async def put(sftp, step):
    if not step.get("resume"):
        return await sftp.put(step["local"], step["remote"], preserve=bool(step.get("times")))
    async with sftp.open(step["remote"], "ab") as target:
        with open(step["local"], "rb") as source:
            source.seek(await sftp.getsize(step["remote"]))
            while block := source.read(65536):
                await target.write(block)


async def get(sftp, step):
    if not step.get("resume"):
        return await sftp.get(step["remote"], step["local"])
    async with sftp.open(step["remote"], "rb") as source:
        with open(step["local"], "ab") as target:
            await source.seek(target.tell())
            while block := await source.read(65536):
                target.write(block)


async def one(sftp, step, answer):
    do = step["do"]
    if do == "put":
        await put(sftp, step)
    elif do == "get":
        await get(sftp, step)
    elif do == "rename":
        await sftp.rename(step["from"], step["to"])
    elif do == "list":
        names = await sftp.listdir(step["path"])
        answer["listings"].append([name for name in names if name not in (".", "..")])
    elif do == "stat":
        facts = await sftp.stat(step["path"])
        answer["stats"].append({"size": facts.size, "modifiedAtMs": facts.mtime * 1000})
    else:
        await {"remove": sftp.remove, "mkdir": sftp.mkdir, "rmdir": sftp.rmdir}[do](step["path"])


async def carry_out(job):
    answer = {"ok": True, "output": "", "listings": [], "stats": []}
    try:
        async with connect(job["door"]) as connection, connection.start_sftp_client() as sftp:
            if job["together"]:
                await asyncio.gather(*(one(sftp, step, answer) for step in job["steps"]))
            else:
                for step in job["steps"]:
                    await one(sftp, step, answer)
    except Exception as error:
        answer["ok"] = False
        answer["output"] = f"{type(error).__name__}: {error}"
    return answer


async def serve():
    for line in iter(sys.stdin.readline, ""):
        print(json.dumps(await carry_out(json.loads(line))), flush=True)


asyncio.run(serve())
