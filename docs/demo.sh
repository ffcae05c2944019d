#!/usr/bin/env bash
# Two machines on this one: web1, which runs a site with two databases, and backup, which pulls from it. What README.md tells is typed
# here step by step; an attacker comes by as well. "make demo" installs what it needs and runs it, as root.
#
# Each machine is a handful of namespaces: network, processes, mounts, host name. What it writes lies in memory and goes with it;
# the machines go when this script ends, however it ends.
set -euo pipefail
cd "$(dirname "$0")/.."

[ "$(id -u)" = 0 ] || { echo "the demo makes machines of namespaces, which needs root" >&2; exit 1; }
for tool in go unshare nsenter setpriv ip sshd ssh-keygen sudo psql mariadbd; do
	command -v "$tool" >/dev/null || { echo "the demo needs $tool; as root, .ci/install-test-tools installs it" >&2; exit 1; }
done

tmp=$(mktemp -d -t snap-demo.XXXXXX)
declare -A first # number of the first process of each machine
clean() {
	set +e
	trap '' INT TERM HUP
	for p in $(jobs -p); do # the kernel ends all processes of a machine with its first one
		kill -9 $(children "$p") || kill -9 "$p"
	done
	wait
	rm -rf "$tmp"
} 2>/dev/null
trap clean EXIT
trap 'echo "interrupted" >&2; exit 130' INT TERM HUP
children() { cat "/proc/$1/task/$1/children"; }

# machine NAME: a machine that has the programs of this one, a copy of its /etc, and nothing else.
machine() {
	setpriv --pdeathsig KILL unshare --net --uts --ipc --mount --propagation private --pid --kill-child --mount-proc sh -euc '
		hostname "$1"
		ip link set lo up
		mount -t tmpfs -o mode=755 tmpfs /srv
		cp -a /etc/. /srv
		mount --move /srv /etc
		rm -rf /etc/snap /etc/postgresql /etc/ssh/ssh_host_* /etc/ssh/sshd_config.d
		printf "127.0.0.1 localhost\n10.77.0.1 backup\n10.77.0.2 web1\n" >/etc/hosts
		for d in /run /srv /root /home /usr/local/bin /usr/local/lib /var/lib /var/log; do mount -t tmpfs -o mode=755 tmpfs $d; done
		for d in /var/tmp /tmp; do mount -t tmpfs -o mode=1777 tmpfs $d; done
		echo ready
		while sleep 3600; do :; done' sh "$1" </dev/null >"$tmp/$1" 2>"$tmp/$1.errors" &
	until [ -s "$tmp/$1" ]; do
		kill -0 $! 2>/dev/null || { echo "a machine cannot be made here: $(cat "$tmp/$1.errors")" >&2; exit 1; }
		sleep 0.05
	done
	first[$1]=$(children $!)
}

# on MACHINE COMMAND: runs a command of sh on a machine, as root.
on() {
	nsenter --target ${first[$1]} --net --uts --ipc --mount --pid \
		env -i HOME=/root TERM=dumb PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin sh -c "cd; $2"
}
say() { printf '\n=== %s\n' "$*"; }
backup() { printf '\nbackup# %s\n' "$1"; on backup "$1"; }
web1() { printf '\nweb1# %s\n' "$1"; on web1 "$1"; }

say "Two machines: web1, which runs a site, and backup"
CGO_ENABLED=0 go build -trimpath -o "$tmp/snap" ./cmd/snap
machine web1
machine backup
ip link add eth0 netns ${first[web1]} type veth peer name eth0 netns ${first[backup]}
on web1 'ip addr add 10.77.0.2/24 dev eth0; ip link set eth0 up'
on backup 'ip addr add 10.77.0.1/24 dev eth0; ip link set eth0 up'
on backup 'cat >/usr/local/bin/snap; chmod 755 /usr/local/bin/snap' <"$tmp/snap"

# An administrator who can log in to web1, and has compared the key of the host.
on backup 'mkdir -m 700 .ssh; ssh-keygen -q -t ed25519 -N "" -f .ssh/id_ed25519'
on backup 'cat .ssh/id_ed25519.pub' | on web1 'mkdir -m 700 .ssh; cat >.ssh/authorized_keys
	usermod --password "*" root; mkdir /run/sshd; ssh-keygen -A >/dev/null
	$(command -v sshd) -f /dev/null -o PermitRootLogin=prohibit-password -o PasswordAuthentication=no'
on web1 'echo "web1 $(cat /etc/ssh/ssh_host_ed25519_key.pub)"' | on backup 'cat >.ssh/known_hosts'

say "web1 has a site, a customer database in PostgreSQL, and a shop in MariaDB"
on web1 'mkdir /srv/www; for i in $(seq 2000); do seq -f "<p>page $i, line %g</p>" 40 >/srv/www/page$i.html; done'
on web1 'install -d -o postgres /run/postgresql /var/lib/postgresql; cd /
	bin=$(ls -d /usr/lib/postgresql/*/bin | sort -V | tail -1)
	runuser -u postgres -- $bin/initdb -D /var/lib/postgresql/data --auth peer --no-sync >/dev/null
	runuser -u postgres -- $bin/pg_ctl -D /var/lib/postgresql/data -o "-k /run/postgresql -c listen_addresses=" -l /var/lib/postgresql/log -w -t 120 start >/dev/null
	runuser -u postgres -- createdb crm
	runuser -u postgres -- psql -q crm -c "CREATE TABLE customer AS SELECT n AS id, md5(n::text) AS name FROM generate_series(1, 20000) n"'
on web1 'install -d -o mysql /run/mysqld /var/lib/mysql
	mariadb-install-db --no-defaults --user=mysql --datadir=/var/lib/mysql --skip-test-db >/dev/null 2>&1
	mariadbd --no-defaults --user=mysql --datadir=/var/lib/mysql --socket=/run/mysqld/mysqld.sock --skip-networking >/var/log/mariadb 2>&1 &
	for i in $(seq 600); do mariadb -e "SELECT 1" >/dev/null 2>&1 && break; sleep 0.1; done
	mariadb -e "CREATE DATABASE shop; USE shop; CREATE TABLE orders (id INT PRIMARY KEY, total INT); INSERT INTO orders SELECT seq, seq * 7 FROM seq_1_to_5000"'

say "On backup: a repository, and what is to be pulled"
backup 'mkdir -m 700 /etc/snap; (umask 077; head -c 32 /dev/urandom | base64 >/etc/snap/password)'
on backup 'cat >/etc/snap/snap.yaml' <<'YAML'
repository:
  location: /srv/backup
  password_file: /etc/snap/password
defaults:
  ssh: {identity: /etc/snap/id_ed25519}
  keep: {daily: 7, weekly: 4, monthly: 12}
sources:
  web1:
    address: snap-pull@web1
    paths: [/etc, /srv/www]
    streams:
      - {name: crm.sql, kind: postgresql}
      - {name: shop.sql, kind: mariadb}
YAML
backup 'cat /etc/snap/snap.yaml'
backup 'snap config validate'
backup 'snap init'

say "Set web1 up: each step is shown. Then try what an attacker could do with the key of the pull"
backup 'ssh root@web1 hostname'
backup 'snap source install web1 --rights sudo --stream crm.sql=postgresql:database=crm,as=postgres --stream shop.sql=mariadb:database=shop --yes'
backup 'snap source audit web1'

say "The first night"
backup 'snap pull'
backup 'snap snapshots'
backup 'snap ls latest / /srv/www/page1.html'

say "A day on web1, and the second night"
web1 'echo "<p>news</p>" >/srv/www/page1.html'
web1 'runuser -u postgres -- psql -q crm -c "INSERT INTO customer VALUES (20001, '"'a new customer'"')"'
backup 'snap pull --all --verbose'
backup 'snap diff latest~1 latest'
backup 'snap verify web1 --sample 20%'

say "An attacker has root on web1, destroys what is there, and looks for the backup"
web1 'for f in /srv/www/*.html; do head -c 1000 /dev/urandom >$f; done'
web1 'runuser -u postgres -- psql -q crm -c "DROP TABLE customer"; mariadb shop -e "DROP TABLE orders"'
web1 'grep -r -l -e "PRIVATE KEY" -e /srv/backup /var/lib/snap-pull /etc/snap || echo "no key, no password, no address of a repository"'

say "The third night: a snapshot is made and marked, and nothing of web1 is forgotten"
code=0
backup 'snap pull --all' || code=$?
echo "exit code $code"
[ "$code" = 24 ] || { echo "the attack was not noticed" >&2; exit 1; }
backup 'snap snapshots'

say "Back again, from the night before, with the administrator's key: the pull has none that writes"
backup 'snap restore latest~1:/srv/www --target /srv/restored && tar -C /srv/restored -cf - . | ssh root@web1 tar -C /srv/www -xf -'
backup 'snap dump latest~1 crm.sql | ssh root@web1 "runuser -u postgres -- psql -q -1 -v ON_ERROR_STOP=1 crm" >/dev/null'
backup 'snap dump latest~1 shop.sql | ssh root@web1 mariadb shop'

say "What is there"
pages=$(on web1 'cat /srv/www/page*.html | grep -c -e "<p>page .*, line .*</p>" -e "<p>news</p>"')
customers=$(on web1 'runuser -u postgres -- psql -At crm -c "SELECT count(DISTINCT id) FROM customer WHERE name = md5(id::text) OR id = 20001"')
orders=$(on web1 'mariadb -N shop -e "SELECT count(*) FROM orders WHERE total = id * 7"')
printf 'lines of pages: %s of 79961\ncustomers:      %s of 20001\norders:         %s of 5000\n' "$pages" "$customers" "$orders"
[ "$pages $customers $orders" = "79961 20001 5000" ] || { echo "something was lost" >&2; exit 1; }
say "Nothing was lost"
