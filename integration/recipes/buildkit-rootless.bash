# What moby/buildkit:rootless declares, its ranges of user IDs apart, which image buildkit has too.
from=buildkit
changes=('USER 1000:1000' 'ENV HOME=/home/user USER=user XDG_RUNTIME_DIR=/run/user/1000 TMPDIR=/home/user/.local/tmp BUILDKIT_HOST=unix:///run/user/1000/buildkit/buildkitd.sock' 'ENTRYPOINT ["rootlesskit", "buildkitd"]')
