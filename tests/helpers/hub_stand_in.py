"""A stand-in of the Hugging Face Hub on 127.0.0.1: just the requests that sending a repository makes, over plain LFS.

It knows no Xet, which is the client's default where hf_xet is installed; set HF_HUB_DISABLE_XET=1 for the client.
"""

import base64
import hashlib
import json
import re
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOKEN = "hf_standin"
REPO = r"(?P<repo>[\w.-]+/[\w.-]+)"
ROUTES = {
    "create": ("POST", r"/api/repos/create"),
    "info": ("GET", rf"/api/(datasets|models)/{REPO}(/revision/main)?"),
    "tree": ("GET", rf"/api/(datasets|models)/{REPO}/tree/main"),
    "preupload": ("POST", rf"/api/(datasets|models)/{REPO}/preupload/main"),
    "batch": ("POST", rf"/(datasets/)?{REPO}\.git/info/lfs/objects/batch"),
    "put": ("PUT", r"/lfs/(?P<oid>[0-9a-f]{64})"),
    "yaml": ("POST", r"/api/validate-yaml"),
    "commit": ("POST", rf"/api/(datasets|models)/{REPO}/commit/main"),
}
OWNER = "me"
CLIENT_STATISTICS = "/api/agent-harnesses"  # which the client asks for by itself, once a day


class Refused(Exception):
    """An answer with ``status``."""

    def __init__(self, status, message):
        self.status, self.message = status, message


class HubStandIn:
    """What the server holds, and what it has seen.

    Attributes:
        objects: sha256 -> bytes of the large files.
        files: repository -> {path: bytes} as its readers see them.
        commits: repository -> list of the sets of paths that each commit added.
        sent: Counter of the sha256 of large files received.
        asked: names of :data:`ROUTES`, or the path of an unknown request, in order.
    """

    def __init__(self):
        self.objects, self.files, self.commits, self.private, self._pages = {}, {}, {}, set(), {}
        self.sent, self.asked, self._faults = Counter(), [], {}
        self.stuck = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": self}))
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()

    def fail(self, name, number, how):
        """The request of that route that is the ``number``-th from now, from 1, gets status ``how``; or "lost": it is
        carried out and the connection lost before the answer; or "cut": the connection is lost and nothing done; or
        "hang": no answer for a minute."""
        self._faults[name, self.asked.count(name) + number] = how

    def mend(self):
        self._faults.clear()

    def answer(self, method, path, token, body):
        """(JSON-able answer, fault) of a request."""
        name, match = _route(method, path)
        if path != CLIENT_STATISTICS:
            self.asked.append(name)
        if match is None:
            raise Refused(404, "no such page")
        fault = self._faults.get((name, self.asked.count(name)))
        if isinstance(fault, int):
            raise Refused(fault, "the stand-in was told to fail")
        if fault == "cut":
            return None, fault
        if fault == "hang":
            self.stuck.set()
            threading.Event().wait(60)
        if name != "put" and token != f"Bearer {TOKEN}":
            raise Refused(401, "Invalid username or password.")
        parts = match.groupdict()
        if parts.get("repo", OWNER) not in (OWNER, *self.files):
            raise Refused(404, "Repository not found")
        return getattr(self, f"_{name}")(body, **{key: parts[key] for key in ("repo", "oid") if key in parts}), fault

    def _create(self, body):
        asked = json.loads(body)
        kind = asked.get("type", "model")
        assert kind in ("dataset", "model")
        namespace = asked["organization"] or OWNER
        if namespace != OWNER:
            raise Refused(403, f"You don't have the rights to create a {kind} under the namespace {namespace}")
        repo = f"{namespace}/{asked['name']}"
        self._pages[repo] = f"{self.endpoint}/{'datasets/' * (kind == 'dataset')}{repo}"
        answer = {"url": self._pages[repo]}
        if repo in self.files:
            raise Refused(409, {"error": f"You already created this {kind} repo", **answer})
        self.files[repo], self.commits[repo] = {".gitattributes": b""}, []
        self.private |= {repo} if asked.get("visibility") == "private" or asked.get("private") else set()
        return answer

    def _info(self, body, repo):
        return {"id": repo, "private": repo in self.private, "sha": f"{len(self.commits[repo]):040x}"}

    def _tree(self, body, repo):
        return [
            {"type": "file", "path": path, "oid": _git_hash(content), "size": len(content)}
            for path, content in self.files[repo].items()
        ]

    def _preupload(self, body, repo):
        answers = []
        for file in json.loads(body)["files"]:
            large = file["path"].endswith((".parquet", ".png", ".jpg", ".safetensors"))
            held = self.files[repo].get(file["path"])
            oid = None
            if held is not None:
                oid = hashlib.sha256(held).hexdigest() if large else _git_hash(held)
            mode = "lfs" if large else "regular"
            answers.append({"path": file["path"], "uploadMode": mode, "shouldIgnore": False, "oid": oid})
        return {"files": answers}

    def _batch(self, body, repo):
        asked = json.loads(body)
        assert "xet" not in asked["transfers"]
        answers = []
        for wanted in asked["objects"]:
            upload = {"upload": {"href": f"{self.endpoint}/lfs/{wanted['oid']}"}}
            answers.append({**wanted, **({} if wanted["oid"] in self.objects else {"actions": upload})})
        return {"transfer": "basic", "objects": answers}

    def _put(self, body, oid):
        assert hashlib.sha256(body).hexdigest() == oid
        self.objects[oid] = body
        self.sent[oid] += 1
        return {}

    def _yaml(self, body):
        assert json.loads(body)["content"].startswith("---\n")
        return {"errors": [], "warnings": []}

    def _commit(self, body, repo):
        files, added = dict(self.files[repo]), set()
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "deletedFile":
                del files[value["path"]]
            elif line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                if value["oid"] not in self.objects:
                    raise Refused(400, f"LFS pointer of {value['path']} points to no file")
                files[value["path"]] = self.objects[value["oid"]]
            if line["key"] in ("file", "lfsFile"):
                added.add(value["path"])
        self.files[repo] = files
        self.commits[repo].append(added)
        oid = f"{len(self.commits[repo]):040x}"
        return {"commitOid": oid, "commitUrl": f"{self._pages[repo]}/commit/{oid}"}


def _route(method, path):
    """(name of the route, match of its pattern); of an unknown request (method and path, None)."""
    for name, (verb, pattern) in ROUTES.items():
        match = re.fullmatch(pattern, path)
        if verb == method and match:
            return name, match
    return f"{method} {path}", None


def _git_hash(content):
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _body(self):
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _handle(self):
        body, status, fault = self._body(), 200, None
        try:
            token = self.headers.get("Authorization")
            answer, fault = self.hub.answer(self.command, self.path.split("?")[0], token, body)
        except Refused as refused:
            status, answer = refused.status, refused.message
            answer = answer if isinstance(answer, dict) else {"error": answer}
        if fault in ("lost", "cut"):
            self.close_connection = True
            return
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = _handle

    def log_message(self, *_):
        pass
