# A shared pair with its copies, an admin.conf and a CA with theirs: everything is as the spec says.
spec copies
front
