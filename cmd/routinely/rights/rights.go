// Package rights says which roles and policies a deployment has, and how each is made, compared or removed. The setup changes them with it; the doctor
// runs the same parts dry, so that the two cannot disagree.
package rights

import (
	"context"
	"errors"
	"strings"

	"routinely/cmd/routinely/cloud"
	"routinely/deploy/ram"
	"routinely/shared/config"
)

// Holder is somebody with policies: a function, which has a role, or people.
type Holder struct {
	// Name is that of package ram: a function or people.
	Name string
	// Role is nil for people.
	Role     *cloud.Role
	Policies []cloud.Policy
	// Withheld are policies that the deployment gives to nobody.
	Withheld []cloud.Policy
}

// Of returns all holders of a deployment. Where the configuration does not say what is deleted, the policy that allows it is neither given nor withheld.
func Of(cfg config.Rights) ([]Holder, error) {
	d := ram.Deployment{
		Prefix: string(cfg.Prefix), TablePrefix: strings.TrimSuffix(cfg.Prefix.JobTable(), "_jobs"), Region: cfg.Region, AccountID: cfg.AccountID,
		Instance: cfg.Instance,
	}
	trust, err := d.Trust()
	if err != nil {
		return nil, err
	}
	policy := func(of string) cloud.Policy {
		document, failed := d.Policy(of)
		err = errors.Join(err, failed)
		return cloud.Policy{Name: cfg.Prefix.Function(of), Description: "Routinely: what " + of + " may do", Document: document}
	}
	var out []Holder
	for _, of := range append(ram.Functions(), ram.People()...) {
		h := Holder{Name: of, Policies: []cloud.Policy{policy(of)}}
		if name := cfg.Prefix.Function(of); len(out) < len(ram.Functions()) {
			h.Role = &cloud.Role{Name: name, Description: "Routinely: the function " + name, Trust: trust}
		}
		if of == ram.Deleter && cfg.Deletion != "" {
			if deletion := policy(ram.Deletion); cfg.Deletion.MayDelete() {
				h.Policies = append(h.Policies, deletion)
			} else {
				h.Withheld = append(h.Withheld, deletion)
			}
		}
		out = append(out, h)
	}
	return out, err
}

// serviceRoles are the roles that Function Compute and EventBridge take (the pages on their service-linked roles).
func serviceRoles() []cloud.ServiceRole {
	return []cloud.ServiceRole{
		{Name: "AliyunServiceRoleForFC", Service: "fc.aliyuncs.com"},
		{Name: "AliyunServiceRoleForEventBridgeSendToFC", Service: "sendevent-fc.eventbridge.aliyuncs.com"},
		{Name: "AliyunServiceRoleForEventBridgeSendToMNS", Service: "sendevent-mns.eventbridge.aliyuncs.com"},
	}
}

// TriggerRole is the role that Function Compute makes by itself with the first trigger of EventBridge, and nobody else does.
const TriggerRole = "AliyunServiceRoleForFCTriggerEventBridge"

// Kind is what a part is about.
type Kind string

// The kinds of parts.
const (
	// ServiceRole is a role that belongs to a service.
	ServiceRole Kind = "service-role"
	// Role is the role of a function, with who may take it.
	Role Kind = "role"
	// Policy is a policy with its text.
	Policy Kind = "policy"
	// Attachment gives a policy to a role or a user.
	Attachment Kind = "attachment"
	// Withheld takes away a policy that the deployment gives to nobody.
	Withheld Kind = "withheld-policy"
)

// Part is one part of the setup.
type Part struct {
	Kind Kind
	// Of is the holder that it is for; empty for a role of a service.
	Of Holder
	// Do makes changes, or in a dry run only says which.
	Do func(ctx context.Context, dryRun bool) (changes []string, err error)
}

// Making are the parts that make everything that is missing. users are whom the policies of people are attached to, by the people; those without a user
// are attached to nobody.
func Making(r *cloud.Rights, all []Holder, users map[string]string) []Part {
	var parts []Part
	for _, role := range serviceRoles() {
		parts = append(parts, Part{ServiceRole, Holder{}, func(ctx context.Context, dryRun bool) ([]string, error) {
			return r.SetUpServiceRole(ctx, role, dryRun)
		}})
	}
	for _, h := range all {
		parts = append(parts, making(r, h, users[h.Name])...)
	}
	return parts
}

// making are the role, the policies, and who gets them.
func making(r *cloud.Rights, h Holder, user string) []Part {
	var parts []Part
	if h.Role != nil {
		parts = append(parts, Part{Role, h, func(ctx context.Context, dryRun bool) ([]string, error) { return r.SetUpRole(ctx, *h.Role, dryRun) }})
	}
	for _, policy := range h.Policies {
		parts = append(parts, Part{Policy, h, func(ctx context.Context, dryRun bool) ([]string, error) { return r.SetUpPolicy(ctx, policy, dryRun) }})
		if h.Role != nil {
			parts = append(parts, Part{Attachment, h, func(ctx context.Context, dryRun bool) ([]string, error) {
				return r.AttachToRole(ctx, policy.Name, h.Role.Name, dryRun)
			}})
		} else if user != "" {
			parts = append(parts, Part{Attachment, h, func(ctx context.Context, dryRun bool) ([]string, error) {
				return r.AttachToUser(ctx, policy.Name, user, dryRun)
			}})
		}
	}
	return append(parts, removing(r, h, h.Withheld)...)
}

// Removing are the parts that take away all policies and the roles that had them. Roles of services stay.
func Removing(r *cloud.Rights, all []Holder) []Part {
	var parts []Part
	for _, h := range all {
		parts = append(parts, removing(r, h, append(h.Policies, h.Withheld...))...)
		if h.Role != nil {
			parts = append(parts, Part{Role, h, func(ctx context.Context, dryRun bool) ([]string, error) {
				return r.RemoveRole(ctx, h.Role.Name, dryRun)
			}})
		}
	}
	return parts
}

func removing(r *cloud.Rights, h Holder, policies []cloud.Policy) []Part {
	var parts []Part
	for _, policy := range policies {
		parts = append(parts, Part{Withheld, h, func(ctx context.Context, dryRun bool) ([]string, error) {
			return r.RemovePolicy(ctx, policy.Name, dryRun)
		}})
	}
	return parts
}
