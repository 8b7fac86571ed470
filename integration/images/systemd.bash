# systemd as the first process.
from=bookworm
packages=(systemd systemd-sysv dbus)
changes=('CMD ["/sbin/init"]')

setup() {
	# What fails or waits in a container: no audit socket, no udev, no console to ask questions on, no
	# file systems of the kernel's own insides.
	local unit
	for unit in systemd-journald-audit.socket systemd-udev-trigger.service systemd-firstboot.service \
		systemd-networkd-wait-online.service console-getty.service \
		sys-kernel-debug.mount sys-kernel-tracing.mount; do
		ln -sf /dev/null "$root/etc/systemd/system/$unit"
	done
}
