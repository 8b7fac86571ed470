# A host as the README expects it: Debian 13 with systemd and Docker. docker-registry stands in for a registry
# that such a host reaches.
from=trixie
packages=(systemd systemd-sysv dbus docker.io docker-cli docker-registry iptables xfsprogs rpm bash-completion)
changes=('CMD ["/sbin/init"]')
