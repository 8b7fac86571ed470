# One static binary and no shell at all.
setup() {
	(cd "$recipes" && CGO_ENABLED=0 "${GO:-go}" build -ldflags '-s -w' -o "$root/hello" ./no-shell)
}

changes=('CMD ["/hello"]')
