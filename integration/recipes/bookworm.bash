# A plain CI image with git.
suite=bookworm
packages=(git ca-certificates procps iproute2)
changes=('CMD ["bash"]')
