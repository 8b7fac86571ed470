# Buildah and Podman with everything in place that leads them away from the executor's settings: the
# configuration, volumes and variables of the public images (quay.io/buildah/stable and podman/stable),
# a storage configuration of each user's, and Podman databases that say overlay. sudo and systemd are
# there to drop the environment.
from=buildah
packages=(sudo systemd systemd-sysv dbus)
changes=(
	'CMD ["bash"]'
	'VOLUME ["/var/lib/containers", "/home/builder/.local/share/containers"]'
	'ENV _CONTAINERS_USERNS_CONFIGURED="" BUILDAH_ISOLATION=chroot'
)

setup() {
	local folder
	mount -t proc proc "$root/proc"
	mount --rbind --make-rslave /sys "$root/sys"
	for folder in /var/lib /root/.local/share /home/builder/.local/share; do
		# In a database are the run-time folders, too, and each user's are the user's own.
		chroot "$root" podman --storage-driver overlay --root "$folder/containers/storage" \
			--runroot "$folder/run" --tmpdir "$folder/tmp" images
	done
	umount --recursive "$root/proc" "$root/sys"
	awk -v tree="$root/" 'index($5, tree) == 1 {print $5}' /proc/self/mountinfo | sort -r | xargs -r umount
	for folder in /etc /root/.config /home/builder/.config; do
		mkdir -p "$root$folder/containers"
		printf '%s\n' '[storage]' 'driver = "overlay"' 'runroot = "/tmp/run"' 'graphroot = "/tmp/graph"' \
			'[storage.options]' 'additionalimagestores = ["/var/lib/shared"]' \
			'mount_program = "/usr/bin/fuse-overlayfs"' 'mountopt = "nodev,fsync=0"' \
			'[storage.options.overlay]' 'mount_program = "/usr/bin/fuse-overlayfs"' 'mountopt = "nodev,fsync=0"' \
			>"$root$folder/containers/storage.conf"
		printf '%s\n' '[containers]' 'netns = "host"' 'userns = "host"' 'ipcns = "host"' 'utsns = "host"' 'cgroupns = "host"' \
			'cgroups = "disabled"' 'log_driver = "k8s-file"' 'volumes = ["/proc:/proc"]' 'default_sysctls = []' \
			'[engine]' 'cgroup_manager = "cgroupfs"' 'events_logger = "file"' 'runtime = "crun"' \
			>"$root$folder/containers/containers.conf"
	done
	mkdir -p "$root"/var/lib/shared/overlay-{images,layers}
	touch "$root/var/lib/shared/overlay-images/images.lock" "$root/var/lib/shared/overlay-layers/layers.lock"
	chroot "$root" chown -R builder:builder /home/builder
	printf 'builder ALL=(ALL) NOPASSWD: ALL\n' >"$root/etc/sudoers.d/builder"
	chmod 440 "$root/etc/sudoers.d/builder"
}
