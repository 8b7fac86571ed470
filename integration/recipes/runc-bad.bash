# runc 1.2.1, of which rootless builds fail (opencontainers/runc#4518), from its Go module; and a user of its own.
from=buildah

setup() {
	# Its part in C must run whatever the image's C library; without seccomp it needs no other.
	mkdir -p "$work/bin"
	GOFLAGS=-mod=mod GOBIN="$work/bin" CGO_ENABLED=1 "${GO:-go}" install -tags netgo,osusergo \
		-ldflags '-s -w -X main.version=1.2.1 -linkmode=external -extldflags=-static' github.com/opencontainers/runc@v1.2.1
	install -m 755 "$work/bin/runc" "$root/usr/local/bin/runc"
}
