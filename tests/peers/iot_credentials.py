"""AWS IoT's credential provider for tests: HTTPS with client certificates, one JSON answer.

    iot_credentials.py <port> <certificate> <key> <authority of the clients> <seconds the credentials last>

Every request is told on standard output: path, thing, and the common name of the client's certificate.
"""

import http.server
import json
import ssl
import sys
import time


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers every GET."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        names = dict(pair for part in self.connection.getpeercert()["subject"] for pair in part)
        thing = self.headers.get("x-amzn-iot-thingname")
        print("asked", self.path, thing, names.get("commonName"), flush=True)
        ends = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + lasts))
        found = self.path == "/role-aliases/edge-role/credentials"
        credentials = {"accessKeyId": "IOTKEY", "secretAccessKey": "secret", "sessionToken": "token", "expiration": ends}
        body = json.dumps({"credentials": credentials} if found else {"message": "no such role alias"}).encode()
        self.send_response(200 if found else 404)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


port, certificate, key, authority, lasts = int(sys.argv[1]), *sys.argv[2:5], int(sys.argv[5])
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)
context.load_verify_locations(authority)
context.verify_mode = ssl.CERT_REQUIRED
server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
server.serve_forever()
