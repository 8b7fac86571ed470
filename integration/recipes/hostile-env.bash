# An image that tries to set Sysbox's own variables, one of which Sysbox does not know.
from=bookworm
changes=('ENV SYSBOX_SKIP_UID_SHIFT=/cache' 'ENV SYSBOX_SYSCONT_MODE=FALSE' 'ENV SYSBOX_EVIL=1' 'ENV OTHER=kept')
