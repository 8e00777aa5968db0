# Those who are told of alerts: named, tried, and told by a run.
config=$HOME/.config/leasehold/config.toml
mkdir -p "$HOME/.config/leasehold"

# Nobody is told.
exits 2 leasehold alert test
says 'nobody is told of alerts'
says '[alerts.log]'

# A secret itself does not belong into the file, nor does a sink into one that was only found.
printf '[alerts.team]\nto = "slack"\nurl = "%s"\n' "$SLACK" >"$config"
exits 2 leasehold alert test
says 'is named by its place'
! grep -q canary-key "$HOME/said" || die 'the URL was told'
printf '[alerts.log]\nto = "log"\n' >leasehold.toml
rm "$config"
exits 2 leasehold alert test
says '[alerts] is not read from a file that only happens to be'
rm leasehold.toml

# Each is tried, and its secrets are shown nowhere.
echo "$SLACK" >slack-url
export ROUTING_KEY=canary-key
cat >"$config" <<TOML
[alerts.log]
to = "log"
[alerts.hook]
to = "webhook"
url = "$WEBHOOK"
secret = "env://ROUTING_KEY"
[alerts.team]
to = "slack"
url = "file://$PWD/slack-url"
least = "critical"
[alerts.oncall]
to = "pagerduty"
address = "$PAGERDUTY"
routing_key = "env://ROUTING_KEY"
TOML
exits 0 leasehold alert test
[ "$(grep -c ' ok' "$HOME/answered")" = 4 ] || die "not all are well: $(cat "$HOME/answered")"
says 'log: a test is logged as information, which -v shows'
exits 0 leasehold alert test -v --sink log
says 'test: this tests the alerts'
! grep -q 'which -v shows' "$HOME/said" || die 'it is said that -v shows what it shows'
exits 0 leasehold alert test --sink oncall --json
tr -d ' \n' <"$HOME/answered" >one
[ "$(cat one)" = '{"results":[{"sink":"oncall","to":"pagerduty","ok":true,"kind":null,"error":null,"hint":null}]}' ] ||
    die "another shape: $(cat one)"
exits 0 leasehold config show --origin
answers 'alerts.team'
answers 'slack, critical'
! grep -q canary-key "$HOME/answered" || die 'a secret was shown'

# A name that was mistyped; a key that is wrong; a secret that is not there; a sink that refuses; nobody there.
exits 2 leasehold alert test --sink on-call
says 'did you mean `oncall`?'
exits 2 env ROUTING_KEY=another leasehold alert test --sink oncall
answers 'refuses the alert (400)'
says 'Events API v2'
exits 5 env -u ROUTING_KEY leasehold alert test --sink oncall
cat >"$config" <<TOML
[alerts.refusing]
to = "webhook"
url = "$REFUSING"
[alerts.away]
to = "webhook"
url = "http://127.0.0.1:1/"
[alerts.log]
to = "log"
TOML
exits 4 leasehold alert test
answers 'refuses the alert (403)'
answers 'connection refused'
answers ' ok'
says 'refusing: is the URL right'

# A run tells when something cannot be kept, and when that is over.
printf '[alerts.log]\nto = "log"\n' >"$config"
leasehold run -v --env P=vault://secret/db#password --refresh-interval 1s -- sh -c '
    touch started; until [ -e finish ]; do sleep 0.05; done' >/dev/null 2>run-said &
wait_for started
trap 'touch finish' EXIT
admin policy write app - >/dev/null <<'HCL'
path "auth/token/create" { capabilities = ["update"] }
HCL
wait_for run-said 'vault://secret/db: '
grep -F 'vault://secret/db: ' run-said | grep -q 'leasehold: error: ' || die 'it is not critical'
touch finish
wait $!
! grep -q canary-one run-said || die 'the secret was told'
nothing_left
