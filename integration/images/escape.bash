# Buildah and Podman with everything in place that leads them away from the executor's settings: a
# storage configuration of the image's own and one of each user's, and Podman databases that say
# overlay. sudo is there to drop the environment.
from=buildah
packages=(sudo)

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
		printf '[storage]\ndriver = "overlay"\nrunroot = "/tmp/run"\ngraphroot = "/tmp/graph"\n[storage.options]\nmount_program = "/usr/bin/fuse-overlayfs"\nmountopt = "nodev,metacopy=on"\n' \
			>"$root$folder/containers/storage.conf"
	done
	chroot "$root" chown -R builder:builder /home/builder
	printf 'builder ALL=(ALL) NOPASSWD: ALL\n' >"$root/etc/sudoers.d/builder"
	chmod 440 "$root/etc/sudoers.d/builder"
}
