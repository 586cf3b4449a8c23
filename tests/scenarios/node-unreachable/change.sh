# A node that gives no answer.
rm -r cp-3
