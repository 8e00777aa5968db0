# A running command gets the new key of its provider, whoever writes it.
without_server
leasehold init >/dev/null
new_key() {
    echo "$1" | leasehold set-key openai_pro - >/dev/null 2>&1
}
new_key canary-one

# By a restart.
leasehold run --provider openai_pro --on-change restart --refresh-interval 1s -- '
    echo "$OPENAI_API_KEY" >>values; until [ -e finish ]; do sleep 0.05; done' &
wait_for values canary-one
new_key canary-two
wait_for values canary-two
touch finish
wait $!
[ "$(cat values)" = "canary-one
canary-two" ] || die "restarted wrongly: $(cat values)"

# By a signal, and in its file.
cat >child.sh <<'CHILD'
trap 'cat "$LEASEHOLD_FILES/key" >seen' USR1
cat "$LEASEHOLD_FILES/key" >started
until [ -e finish ]; do sleep 0.05; done
CHILD
rm finish
leasehold run --file key=sealed://agent_vault/api.openai.com/pro_key --on-change signal:USR1 --refresh-interval 1s -- \
    sh child.sh &
wait_for started canary-two
new_key canary-three
wait_for seen canary-three
touch finish
wait $!

# The key is deleted meanwhile: the command goes on with what it has, and that is said.
rm finish
leasehold run --provider openai_pro --on-change restart --refresh-interval 1s -- '
    echo "$OPENAI_API_KEY" >>rest; until [ -e finish ]; do sleep 0.05; done' 2>told &
wait_for rest canary-three
leasehold delete-key openai_pro >/dev/null
wait_for told 'goes on with what it has'
new_key canary-four
wait_for rest canary-four
touch finish
wait $!
