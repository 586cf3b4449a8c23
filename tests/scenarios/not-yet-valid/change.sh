# Issued on a machine whose clock was two days ahead.
reissue cp-1/$PKI/apiserver-kubelet-client cp-1/$PKI/ca 20261203000000Z 20271203000000Z
