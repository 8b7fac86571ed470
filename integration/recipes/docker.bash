# Debian's Docker engine and client. busybox is static: what builds in a test start from, as no registry is
# needed for it.
from=bookworm
packages=(docker.io openssl busybox-static)
changes=('CMD ["bash"]')
