package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"

	"sluice/bench/load"
	"sluice/bench/sink"
)

// childVariable, set to a role, makes this binary one of its own children.
const childVariable = "SLUICE_BENCH_CHILD"

// sinkOrder is the first line that a sink reads; any later one asks for its counts.
type sinkOrder struct {
	Address string `json:"address"`
	Topics  int    `json:"topics"`
}

type sinkNews struct {
	Address string      `json:"address"`
	Counts  sink.Counts `json:"counts"`
	Damage  string      `json:"damage"`
}

type loadNews struct {
	Result load.Result `json:"result"`
	Error  string      `json:"error"`
}

// beChild does what a child does, until its standard input ends. It reports whether
// this process is one.
func beChild() bool {
	in, out := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	var err error
	switch os.Getenv(childVariable) {
	case "":
		return false
	case "sink":
		err = beSink(in, out)
	case "load":
		err = beLoad(in, out)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return true
}

func beSink(in *json.Decoder, out *json.Encoder) error {
	var order sinkOrder
	if err := in.Decode(&order); err != nil {
		return err
	}
	s, err := sink.Start(order.Address, order.Topics)
	if err != nil {
		return err
	}
	defer s.Close()
	for err == nil {
		if err = out.Encode(sinkNews{Address: s.Address(), Counts: s.Counts(), Damage: s.Damage()}); err == nil {
			err = in.Decode(&order)
		}
	}
	return err
}

func beLoad(in *json.Decoder, out *json.Encoder) error {
	for {
		var job load.Job
		if err := in.Decode(&job); err != nil {
			return err
		}
		var news loadNews
		result, err := load.Run(context.Background(), job)
		if news.Result = result; err != nil {
			news.Error = err.Error()
		}
		if err := out.Encode(news); err != nil {
			return err
		}
	}
}

// child is a child seen from its parent.
type child struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *json.Decoder
}

func startChild(ctx context.Context, role string) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := &child{cmd: exec.CommandContext(ctx, self)}
	c.cmd.Env = append(os.Environ(), childVariable+"="+role)
	c.cmd.Stderr = os.Stderr
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c.out = json.NewDecoder(out)
	return c, c.cmd.Start()
}

// ask sends one line and reads one.
func (c *child) ask(order, news any) error {
	if err := json.NewEncoder(c.in).Encode(order); err != nil {
		return fmt.Errorf("%s: %w", c.cmd.Args[0], err)
	}
	return c.out.Decode(news)
}

func (c *child) stop() {
	_ = c.in.Close()
	_ = c.cmd.Wait() // it ends with its standard input, or with the context
}

// run has the load process do a job.
func (c *child) run(j load.Job) (load.Result, error) {
	var news loadNews
	if err := c.ask(j, &news); err != nil {
		return load.Result{}, err
	}
	if news.Error != "" {
		return news.Result, errors.New(news.Error)
	}
	return news.Result, nil
}

// counts asks the sink what it has seen; damage is an error.
func (c *child) counts() (sink.Counts, error) {
	var news sinkNews
	if err := c.ask(sinkOrder{}, &news); err != nil {
		return sink.Counts{}, err
	}
	if news.Counts.Damaged > 0 {
		return news.Counts, fmt.Errorf("the sink ended %d connections; the last: %s", news.Counts.Damaged, news.Damage)
	}
	return news.Counts, nil
}
