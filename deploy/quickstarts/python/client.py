"""Opens a session, issues tokens, renews them and ends the session: what a back end does with Curfew."""

import base64
import os
import uuid

import grpc
from curfew.session.v1 import session_pb2, session_service_pb2 as sessions, session_service_pb2_grpc
from curfew.token.v1 import token_pb2, token_service_pb2 as tokens, token_service_pb2_grpc

address = os.environ.get("CURFEW_ADDRESS", "127.0.0.1:7400")
caller, secret = os.environ.get("CURFEW_CALLER", "backend"), os.environ["CURFEW_SECRET"]
web = {
    "client": "tenants/acme/clients/web",
    "client_authentication": token_pb2.ClientAuthentication(client_secret=os.environ["WEB_SECRET"]),
}


def once() -> dict:
    """A call that is repeated with the same id happens once."""
    return {"request_id": str(uuid.uuid4())}


# Plain text is for loopback alone: elsewhere this is grpc.secure_channel.
with grpc.insecure_channel(address) as channel:
    session = session_service_pb2_grpc.SessionServiceStub(channel)
    token = token_service_pb2_grpc.TokenServiceStub(channel)

    basic = "Basic " + base64.b64encode(f"{caller}:{secret}".encode()).decode()
    own = {"client": f"tenants/curfew/clients/{caller}", "resource": "tenants/curfew/resources/curfew"}
    me = {"metadata": [("authorization", basic)], "timeout": 10}
    answer = token.IssueAppToken(tokens.IssueAppTokenRequest(**own, **once()), **me)
    me["metadata"] = [("authorization", f"Bearer {answer.tokens.access_token}")]

    alice = session_pb2.Session(subject="tenants/acme/subjects/alice", amr=["pwd"])
    opened = session.CreateSession(sessions.CreateSessionRequest(parent="tenants/acme", session=alice, **once()), **me)
    print("opened", opened.session.name)

    asked = {"resource": "tenants/acme/resources/orders", "scopes": ["orders.read", "offline_access"]}
    issue = tokens.IssueTokensRequest(session=opened.session.name, **asked, **web, **once())
    issued = token.IssueTokens(issue, **me).tokens
    print("issued", *issued.scopes)

    refresh = tokens.RefreshTokensRequest(refresh_token=issued.refresh_token, **web)
    print("renewed", token_pb2.RefreshCause.Name(token.RefreshTokens(refresh, **me).cause))

    end = sessions.EndSessionRequest(name=opened.session.name, **once())
    print("ended", session.EndSession(end, **me).session.ending.cause)
