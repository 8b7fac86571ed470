#!/bin/sh
# The runc of the BuildKit in a job: buildkit-runc or runc of the image, made to start containers in a user
# namespace below the container's own, as under rootlesskit.
#
# There Sysbox fails with EINVAL what it handles itself: every mount of procfs or sysfs, also the binding of
# /proc and /sys, as long as any of the other namespaces is the job's. It knows them by their names, and
# leaves /proc/. to the kernel, which binds it. The flags that are asked for beside are those that it has,
# and to set them again is refused.
runc=$(command -v buildkit-runc || command -v runc) || {
	echo "there is neither buildkit-runc nor runc in this image" >&2
	exit 127
}
before=
for argument in "$@"; do
	if [ "$before" = --bundle ] && [ -w "$argument/config.json" ]; then
		sed -i 's#\("source":"/\(proc\|sys\)\)","options":\["rbind"[^]]*\]#\1/.","options":["rbind"]#g' "$argument/config.json"
	fi
	before=$argument
done
exec "$runc" "$@"
