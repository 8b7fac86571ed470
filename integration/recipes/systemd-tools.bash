# systemd as the first process, and what the documentation runs beside it.
from=systemd
packages=(buildah prometheus-node-exporter)
changes=('CMD ["/sbin/init"]')
