import hashlib
import hmac
import json
import os

SECRETS = os.environ.get("secret_mount_path", "/var/openfaas/secrets")


def handle(event, context):
    with open(os.path.join(SECRETS, "github-webhook"), "rb") as file:
        secret = file.read().strip()
    if not secret:
        return {"statusCode": 500, "body": "the secret github-webhook is empty"}
    # Over the bytes as they came.
    expected = "sha256=" + hmac.new(secret, event.body, hashlib.sha256).hexdigest()
    given = event.headers.get("X-Hub-Signature-256", "")
    # In the same time wherever they differ. Bytes: a header may hold more than ASCII.
    if not hmac.compare_digest(given.encode(), expected.encode()):
        return {"statusCode": 401, "body": "the signature is missing or wrong"}

    # From here on the request is GitHub's.
    name = event.headers.get("X-GitHub-Event", "")
    payload = json.loads(event.body)
    print(f"{name} of {payload.get('repository', {}).get('full_name', 'no repository')}", flush=True)
    return {"statusCode": 200, "body": f"{name} accepted"}
