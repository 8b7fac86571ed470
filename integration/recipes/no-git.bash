# A CI image whose only lack is git.
from=bookworm

setup() { rm -rf "$root"/usr/bin/git* "$root"/usr/lib/git-core; }
