# The first node has another key than belongs to the shared certificate, so its copy has it too.
spec copies
front
new_key cp-1/etc/front/tls
front_copy cp-1
