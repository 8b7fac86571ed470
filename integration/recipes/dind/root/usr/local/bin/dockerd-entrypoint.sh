#!/bin/sh
# Starts dockerd as docker:dind does: on its socket and, where DOCKER_TLS_CERTDIR names a folder, on port
# 2376 with certificates that are made there, the client's in its folder client; else on port 2375.
set -eu

if [ -z "${DOCKER_TLS_CERTDIR:-}" ]; then
	exec dockerd --host=unix:///var/run/docker.sock --host=tcp://0.0.0.0:2375 --tls=false "$@"
fi

# certificate FOLDER EXTENSIONS: a key of FOLDER's own, signed by the authority.
certificate() {
	mkdir -p "$1"
	openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=docker:dind $1" -keyout "$1/key.pem" -out "$1/request.pem"
	echo "$2" >"$1/extensions"
	openssl x509 -req -in "$1/request.pem" -CA ca/cert.pem -CAkey ca/key.pem -CAcreateserial -days 7 -extfile "$1/extensions" -out "$1/cert.pem"
	cp ca/cert.pem "$1/ca.pem"
}

mkdir -p "$DOCKER_TLS_CERTDIR"
cd "$DOCKER_TLS_CERTDIR"
mkdir -p ca
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 7 -subj '/CN=docker:dind CA' -keyout ca/key.pem -out ca/cert.pem
certificate server "subjectAltName=DNS:docker,DNS:localhost,DNS:$(hostname),IP:127.0.0.1"
certificate client extendedKeyUsage=clientAuth
cd /
exec dockerd --host=unix:///var/run/docker.sock --host=tcp://0.0.0.0:2376 --tlsverify \
	--tlscacert "$DOCKER_TLS_CERTDIR/server/ca.pem" --tlscert "$DOCKER_TLS_CERTDIR/server/cert.pem" --tlskey "$DOCKER_TLS_CERTDIR/server/key.pem" "$@"
