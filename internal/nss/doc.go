// Package nss tells the names of users and groups by their numbers, and the addresses of hosts by their names, as this
// machine has them: by its name service switch.
//
//	users, groups: /etc/passwd, /etc/group ─┐
//	hosts: the resolver of Go, in Dial ─────┴─► what they do not know ─► getent, if /etc/nsswitch.conf names others
//
// It is the same whether the program is linked with C or not: what only a module of the C library knows (LDAP, sssd,
// systemd, mDNS) is asked of getent, the program of the C library for that. getent gets the name of a database and what is
// asked for, and an environment of its own.
package nss
