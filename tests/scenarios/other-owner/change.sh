# A user's copy of admin.conf took the place of root's own, and a key went to a number without a name.
printf 'root:x:0:0::/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\n' >cp-1/etc/passwd
printf 'root:x:0:\nalice:x:1000:\n' >cp-1/etc/group
chown 1000:1000 cp-1/$KUBERNETES/admin.conf
chown 52034 cp-2/$PKI/etcd/server.key
