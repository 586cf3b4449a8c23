# The connections of two nodes were mixed up.
mv cp-1 cp-0 && mv cp-2 cp-1 && mv cp-0 cp-2
