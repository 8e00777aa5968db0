# A running command sees a rotation, by a signal and in its file.
cat >child.sh <<'CHILD'
trap 'cat "$LEASEHOLD_FILES/password" >seen' USR1
cat "$LEASEHOLD_FILES/password" >started
until [ -e finish ]; do sleep 0.05; done
CHILD
leasehold run --file password=vault://secret/db#password --on-change signal:USR1 --refresh-interval 1s -- sh child.sh &
wait_for started canary-one
admin kv put secret/db password=canary-two >/dev/null
wait_for seen canary-two
touch finish
wait $!
nothing_left

# By a restart, the new one with the new value.
rm -f finish
leasehold run --env P=vault://secret/db#password --on-change restart --refresh-interval 1s -- sh -c '
    echo "$P" >>values; until [ -e finish ]; do sleep 0.05; done' &
wait_for values canary-two
admin kv put secret/db password=canary-three >/dev/null
wait_for values canary-three
touch finish
wait $!
[ "$(cat values)" = "canary-two
canary-three" ] || die "restarted wrongly: $(cat values)"

# Or not at all.
rm -f finish values
leasehold run --env P=vault://secret/db#password --file p=vault://secret/db#password --refresh-interval 1s -- sh -c '
    echo "$P" >>values; until grep -q canary-four "$LEASEHOLD_FILES/p"; do sleep 0.05; done; echo "$P" >>values' &
wait_for values canary-three
admin kv put secret/db password=canary-four >/dev/null
wait $!
[ "$(cat values)" = "canary-three
canary-three" ] || die "it should not have changed: $(cat values)"
nothing_left
