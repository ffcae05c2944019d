#!/usr/bin/env bash
# A backup server and a live machine on this machine, each in namespaces of its own: the steps of the README, one after another, as
# a person would type them. Needs root, sshd, PostgreSQL and MariaDB (.ci/install-test-tools installs them). It leaves nothing behind.
set -euo pipefail
cd "$(dirname "$0")/.."
[ "$(id -u)" = 0 ] || { echo "the demo makes network namespaces and needs root" >&2; exit 1; }
T=$(mktemp -d /tmp/snap-demo.XXXXXX)
N=snap-demo-$$
PIDS=()
clean() {
	set +e
	for m in live backup; do ip netns pids "$N-$m" 2>/dev/null | xargs -r kill -9 2>/dev/null; done
	for p in "${PIDS[@]}"; do kill -9 "$p" 2>/dev/null; done
	wait 2>/dev/null
	for m in live backup; do ip netns del "$N-$m" 2>/dev/null; done
	rm -rf "$T"
}
trap clean EXIT

# machine NAME: a machine with its own network, host name, and folders that change for itself only.
machine() {
	local m=$1 script="set -e" i=0 d
	ip netns add "$N-$m"
	ip -n "$N-$m" link set lo up
	for d in /etc /usr/local /var/lib /var/log /root /home /srv; do
		i=$((i + 1))
		mkdir -p "$T/$m/upper$i" "$T/$m/work$i"
		script+="; mount -t overlay overlay -o lowerdir=$d,upperdir=$T/$m/upper$i,workdir=$T/$m/work$i $d"
	done
	script+="; mount -t tmpfs tmpfs /run; hostname $m; echo ready >$T/$m/ready; exec sleep 100000"
	ip netns exec "$N-$m" unshare --mount --uts --propagation private sh -c "$script" &
	PIDS+=($!)
	for _ in $(seq 200); do
		[ -e "$T/$m/ready" ] && break
		sleep 0.1
	done
	eval "${m}_pid=$!"
}
on() { # on MACHINE COMMAND: runs a command of sh there, as root
	local pid="${1}_pid"
	nsenter --target "${!pid}" --mount --uts --net -- env HOME=/root XDG_CONFIG_HOME= PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin sh -c "cd /root; $2"
}
step() { # step MACHINE COMMAND: shows it, runs it
	printf '\n%s# %s\n' "$1" "$2"
	on "$1" "$2"
}
say() { printf '\n=== %s\n' "$*"; }

say "Two machines: live, which runs a shop, and backup"
go build -trimpath -o "$T/snap" ./cmd/snap
machine live
machine backup
ip link add "sl$$" netns "$N-live" type veth peer name "sb$$" netns "$N-backup"
ip -n "$N-live" addr add 10.77.0.2/24 dev "sl$$"
ip -n "$N-backup" addr add 10.77.0.1/24 dev "sb$$"
ip -n "$N-live" link set "sl$$" up
ip -n "$N-backup" link set "sb$$" up
on live "echo '10.77.0.2 live' >>/etc/hosts"
on backup "echo '10.77.0.2 live' >>/etc/hosts; mkdir -p /root/.ssh; rm -f /root/.ssh/id_ed25519; ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/id_ed25519; install -m 0755 $T/snap /usr/local/bin/snap"
on live "mkdir -p /run/sshd /root/.ssh; ssh-keygen -A >/dev/null; passwd -q -d root >/dev/null 2>&1 || true; $(which sshd || echo /usr/sbin/sshd) -o PermitRootLogin=prohibit-password -o UsePAM=no -o PasswordAuthentication=no"
# The administrator's own key, which the backup does not use; and the host key, compared by whoever logs in first.
on live "cat >/root/.ssh/authorized_keys" <<<"$(on backup 'cat /root/.ssh/id_ed25519.pub')"
on backup "echo \"live \$(ssh-keyscan -t ed25519 live 2>/dev/null | cut -d' ' -f2-)\" >/root/.ssh/known_hosts"

say "The live machine: a site, PostgreSQL with a CRM, MariaDB with a shop"
on live 'mkdir -p /srv/www; for i in $(seq 500); do echo "<h1>page $i</h1>" >/srv/www/page$i.html; done; echo secret >/srv/www/config.php; chmod 600 /srv/www/config.php'
on live 'mkdir -p /run/postgresql /var/lib/crm; chown postgres /run/postgresql /var/lib/crm
	bin=$(ls -d /usr/lib/postgresql/*/bin | tail -1)
	runuser -u postgres -- $bin/initdb -D /var/lib/crm/data -A peer >/dev/null
	runuser -u postgres -- $bin/pg_ctl -D /var/lib/crm/data -o "-k /run/postgresql -c listen_addresses=" -l /var/lib/crm/log -w start >/dev/null
	runuser -u postgres -- createdb crm
	runuser -u postgres -- psql -q crm -c "CREATE TABLE customer AS SELECT n AS id, md5(n::text) AS name FROM generate_series(1, 20000) n"'
on live 'mkdir -p /run/mysqld /var/lib/shop; chown mysql /run/mysqld /var/lib/shop
	mariadb-install-db --user=mysql --datadir=/var/lib/shop >/dev/null 2>&1
	mariadbd --user=mysql --datadir=/var/lib/shop --socket=/run/mysqld/mysqld.sock --skip-networking --pid-file=/run/mysqld/demo.pid >/var/log/demo-mariadb 2>&1 &
	for i in $(seq 300); do mariadb -e "SELECT 1" >/dev/null 2>&1 && break; sleep 0.2; done
	mariadb -e "CREATE DATABASE shop; CREATE TABLE shop.orders (id INT PRIMARY KEY, total INT); INSERT INTO shop.orders SELECT seq, seq * 7 FROM shop_seq" 2>/dev/null ||
	mariadb -e "CREATE DATABASE IF NOT EXISTS shop; CREATE TABLE IF NOT EXISTS shop.orders (id INT PRIMARY KEY, total INT); INSERT INTO shop.orders SELECT seq, seq * 7 FROM seq_1_to_5000"'

say "On the backup server: a repository, and the live machine as a source"
step backup 'mkdir -p /etc/snap/conf.d && (umask 077; head -c 32 /dev/urandom | base64 >/etc/snap/password)'
on backup 'cat >/etc/snap/conf.d/server.yaml' <<'YAML'
repository:
  location: /srv/backup
  password_file: /etc/snap/password
defaults:
  keep: {daily: 7, weekly: 4, monthly: 12}
YAML
step backup 'cat /etc/snap/conf.d/server.yaml'
on backup 'printf "export SNAP_CONFIG=/etc/snap/conf.d SNAP_REPOSITORY=/srv/backup SNAP_PASSWORD_FILE=/etc/snap/password\n" >/root/.snaprc'
snap() { step backup ". /root/.snaprc; snap $1"; }
snap 'init'
snap 'source install live --yes --rights sudo --path /etc --path /srv/www --stream crm.sql=postgresql:database=crm,as=postgres --stream shop.sql=mariadb:database=shop'
snap 'source audit live'

say "Every night, from cron"
snap 'pull'
snap 'snapshots'
on live 'echo "<h1>news</h1>" >/srv/www/page1.html; runuser -u postgres -- psql -q crm -c "INSERT INTO customer VALUES (20001, '"'new customer'"')"'
snap 'pull --all -v'
snap 'ls latest /srv/www/page1.html'
snap 'verify live --sample 20%'

say "An attacker takes the live machine, destroys what he finds, and looks for the backup"
on live 'rm -rf /srv/www; runuser -u postgres -- psql -q crm -c "DROP TABLE customer"; mariadb -e "DROP DATABASE shop"'
step live 'ls -A /var/lib/snap-pull /var/lib/snap-pull/.ssh; grep -c BEGIN /var/lib/snap-pull/.ssh/* || echo "no private key, no password, no address of a repository"'
snap 'pull --all || echo "exit code $?: the snapshot is kept, marked, and nothing is forgotten"'

say "Back again, to the row"
snap 'source list'
step backup ". /root/.snaprc; snap restore latest~1:/srv/www --target /srv/restored && find /srv/restored -type f | wc -l"
step backup ". /root/.snaprc; snap dump latest~1 crm.sql >/srv/crm.sql; snap dump latest~1 shop.sql >/srv/shop.sql; ls -l /srv/*.sql"
on backup 'cat /srv/crm.sql' | on live 'runuser -u postgres -- psql -q -v ON_ERROR_STOP=1 crm >/dev/null'
on backup 'cat /srv/shop.sql' | on live 'mariadb'
customers=$(on live 'runuser -u postgres -- psql -At crm -c "SELECT count(*) FROM customer"')
orders=$(on live 'mariadb -N -e "SELECT count(*) FROM shop.orders"')
pages=$(on backup 'find /srv/restored -name "*.html" | wc -l')
printf '\ncustomers: %s of 20001\norders:    %s of 5000\npages:     %s of 500\n' "$customers" "$orders" "$pages"
[ "$customers" = 20001 ] && [ "$orders" = 5000 ] && [ "$pages" = 500 ] || { echo "something was lost" >&2; exit 1; }
say "Nothing was lost"
