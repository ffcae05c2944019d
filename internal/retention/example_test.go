package retention_test

import (
	"fmt"
	"time"

	"github.com/snapkeep/snap/internal/retention"
)

// Two snapshots a day for ten days.
func Example() {
	policy := retention.Policy{KeepDaily: 3, KeepWeekly: 1, Zone: "Europe/Berlin"}
	start := time.Date(2026, 6, 29, 6, 0, 0, 0, time.UTC)
	var snapshots []retention.Snapshot
	for i := range 20 {
		snapshots = append(snapshots, retention.Snapshot{
			ID: retention.ID{byte(i)}, Source: "laptop", Time: start.Add(time.Duration(i) * 12 * time.Hour),
		})
	}
	snapshots[2].Pinned = true
	now := start.AddDate(0, 0, 10)
	decisions, err := retention.Apply(policy, now, snapshots, retention.Options{Estimate: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	rows, err := retention.Explain(policy, decisions)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Print(retention.ExplainText(rows[:8], func(id retention.ID) string { return fmt.Sprintf("%x", id[:1]) }))
	// Output:
	// source "laptop"
	//   keep  13  Wed 2026-07-08 20:00  daily 1 of 3 (2026-07-08); weekly later (2026-W28); until about Sat 2026-07-11 08:00
	//   go    12  Wed 2026-07-08 08:00  no rule keeps it; next to it stay Wed 2026-07-08 20:00 and Tue 2026-07-07 20:00
	//   keep  11  Tue 2026-07-07 20:00  daily 2 of 3 (2026-07-07); until about Fri 2026-07-10 08:00
	//   go    10  Tue 2026-07-07 08:00  no rule keeps it; next to it stay Tue 2026-07-07 20:00 and Mon 2026-07-06 20:00
	//   keep  0f  Mon 2026-07-06 20:00  daily 3 of 3 (2026-07-06); until about Thu 2026-07-09 08:00
	//   go    0e  Mon 2026-07-06 08:00  no rule keeps it; next to it stay Mon 2026-07-06 20:00 and Sun 2026-07-05 20:00
	//   keep  0d  Sun 2026-07-05 20:00  weekly 1 of 1 (2026-W27); until about Wed 2026-07-15 08:00
	//   go    0c  Sun 2026-07-05 08:00  no rule keeps it; next to it stay Sun 2026-07-05 20:00 and Tue 2026-06-30 08:00
}

func ExampleSimulation_Calendar() {
	policy := retention.DefaultPolicy()
	start := time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)
	simulation, err := retention.Simulate(policy, retention.SimulationOptions{Start: start, Years: 2})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Print(simulation.Calendar())
	// Output:
	// 7 daily, then 4 weekly, then 12 monthly; days in UTC
	//
	//                   1         2         3
	//          1234567890123456789012345678901
	// 2026-01      ...........................
	// 2026-02  ............................
	// 2026-03  ...............................
	// 2026-04  ..............................
	// 2026-05  ...............................
	// 2026-06  ..............................
	// 2026-07  ...............................
	// 2026-08  ...............................
	// 2026-09  ..............................
	// 2026-10  ...............................
	// 2026-11  .............................M
	// 2026-12  ..............................M
	// 2027-01  ..............................M
	// 2027-02  ...........................M
	// 2027-03  ..............................M
	// 2027-04  .............................M
	// 2027-05  ..............................M
	// 2027-06  .............................M
	// 2027-07  ..............................M
	// 2027-08  ..............................M
	// 2027-09  .............................M
	// 2027-10  ..............................M
	// 2027-11  .............................m
	// 2027-12  ....W......W......W......W..DDD
	// 2028-01  DDDD
	//
	// D daily  W weekly  M monthly  m monthly, counted later  . gone
	// at the end 24 snapshots kept, the oldest 400 days old
	// from day 399 on 23 to 25 kept, the oldest 369 to 405 days old
}
