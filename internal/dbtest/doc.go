// Package dbtest runs database servers for tests: PostgreSQL and MariaDB, each in a folder of its own, on a socket in that
// folder and on no port, with nothing that outlives the test. Servers of the system are left alone.
package dbtest
