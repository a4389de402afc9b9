// Package target starts what the bench compares: HAProxy and Sluice in front of one
// address, each as a process of its own on the loopback interface, and checks that
// it answers before anything is measured.
package target
