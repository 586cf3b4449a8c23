# A worker has the kubelet's files only.
add_worker w-1
