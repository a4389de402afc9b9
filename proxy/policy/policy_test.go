package policy

import "testing"

func TestX(t *testing.T) {
	p, ps := Load("../../deploy/sluice.yaml")
	t.Log("\n" + ps.Error())
	if p == nil {
		t.Fatal()
	}
	t.Logf("%+v %+v", p.Gateway, p.Tenants[0])
}
