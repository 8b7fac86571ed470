# The same from Debian 13.
suite=trixie
packages=(git ca-certificates procps iproute2)
changes=('CMD ["bash"]')
