# The public key was left over from before.
new_key "$work/old"
openssl pkey -in "$work/old.key" -pubout -out cp-3/$PKI/sa.pub
