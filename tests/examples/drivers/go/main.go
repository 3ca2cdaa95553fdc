// Calls an example's functions: reads one call per line of JSON, and writes one result per line.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net"
	"os"
	"sync"
	"time"

	"example.com/sessions"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// The local DynamoDB does not check credentials.
func credentials(context.Context) (aws.Credentials, error) {
	return aws.Credentials{AccessKeyID: "local", SecretAccessKey: "local"}, nil
}

// Retries what newer SDKs retry, too: Go's HTTP client closes a connection whose response is read.
func retryClosedConnections(options *retry.StandardOptions) {
	isClosed := func(err error) aws.Ternary {
		if errors.Is(err, net.ErrClosed) {
			return aws.TrueTernary
		}
		return aws.UnknownTernary
	}
	options.Retryables = append(options.Retryables, retry.IsErrorRetryableFunc(isClosed))
}

func main() {
	all := sessions.New(dynamodb.New(dynamodb.Options{
		Region:      "us-east-1",
		Credentials: aws.CredentialsProviderFunc(credentials),
		// The SDKs of all supported Debian releases have this option.
		EndpointResolver: dynamodb.EndpointResolverFromURL(os.Getenv("AWS_ENDPOINT_URL_DYNAMODB")),
		Retryer:          retry.NewStandard(retryClosedConnections),
	}), os.Getenv("TABLE_NAME"))
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var call []any
		if err := json.Unmarshal(lines.Bytes(), &call); err != nil {
			log.Fatal(err)
		}
		answer := map[string]any{}
		result, err := do(all, call)
		if err != nil {
			answer["error"] = err.Error()
		} else {
			answer["answer"] = result
		}
		line, err := json.Marshal(answer)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(string(line))
	}
}

func do(all *sessions.Sessions, call []any) (any, error) {
	ctx := context.Background()
	text := func(i int) string { return call[i].(string) }
	at := func(i int) time.Time { return time.Unix(int64(call[i].(float64)), 0) }
	switch text(0) {
	case "at":
		all.Now = time.Now
		if call[1] != nil {
			now := at(1)
			all.Now = func() time.Time { return now }
		}
		return sessions.Done, nil
	case "grace":
		all.Grace = time.Duration(call[1].(float64)) * time.Second
		return sessions.Done, nil
	case "at_once":
		return atOnce(all, int(call[1].(float64)), call[2:])
	case "login":
		login, err := all.Login(ctx, text(1), at(2), attributes(call, 3))
		return map[string]any{
			"session": login.Session, "refresh_token": login.RefreshToken, "expires_at": login.ExpiresAt.Unix(),
		}, err
	case "create":
		return all.Create(ctx, text(1), text(2), at(3), attributes(call, 4))
	case "refresh":
		refresh, err := all.Refresh(ctx, text(1), text(2), text(3), at(4))
		answer := map[string]any{"outcome": refresh.Outcome}
		if refresh.Outcome == sessions.Done {
			answer["refresh_token"], answer["expires_at"] = refresh.RefreshToken, refresh.ExpiresAt.Unix()
		}
		return answer, err
	case "extend":
		return all.Extend(ctx, text(1), text(2), at(3))
	case "logout":
		return all.Logout(ctx, text(1), text(2))
	case "revoke":
		return all.Revoke(ctx, text(1), text(2))
	case "revoke_others":
		return all.RevokeOthers(ctx, text(1), text(2))
	case "revoke_all":
		return all.RevokeAll(ctx, text(1))
	case "list":
		listed, err := all.List(ctx, text(1))
		return plain(listed), err
	case "add_refresh_token":
		return all.AddRefreshToken(ctx, text(1), text(2), text(3), at(4))
	case "rotate_refresh_token":
		return all.RotateRefreshToken(ctx, text(1), text(2), text(3), text(4), at(5))
	case "blacklist":
		return all.Blacklist(ctx, text(1), text(2), at(3))
	case "access_token_claims":
		claims, err := all.AccessTokenClaims(text(1), text(2), at(3), text(4), text(5), text(6))
		if len(call) > 7 {
			claims.AuthTime, claims.ClientID = at(7).Unix(), text(8)
		}
		return claims, err
	}
	panic(text(0))
}

func atOnce(all *sessions.Sessions, count int, call []any) (any, error) {
	answers, failures := make([]any, count), make([]error, count)
	var group sync.WaitGroup
	for i := range answers {
		group.Add(1)
		go func(i int) {
			defer group.Done()
			answers[i], failures[i] = do(all, call)
		}(i)
	}
	group.Wait()
	for _, err := range failures {
		if err != nil {
			return nil, err
		}
	}
	return answers, nil
}

// The attributes in the argument with this number, if it exists.
func attributes(call []any, i int) sessions.Attributes {
	found := sessions.Attributes{Other: sessions.Item{}}
	if len(call) <= i {
		return found
	}
	for name, value := range call[i].(map[string]any) {
		switch name {
		case "ip_address":
			found.IPAddress = value.(string)
		case "user_agent":
			found.UserAgent = value.(string)
		case "client_id":
			found.ClientID = value.(string)
		case "auth_time":
			found.AuthTime = time.Unix(int64(value.(float64)), 0)
		case "max_expires_at":
			found.MaxExpiresAt = time.Unix(int64(value.(float64)), 0)
		default:
			found.Other[name] = &types.AttributeValueMemberS{Value: value.(string)}
		}
	}
	return found
}

// Sessions with the names of their attributes.
func plain(listed []sessions.Session) []map[string]any {
	answer := []map[string]any{}
	for _, it := range listed {
		session := map[string]any{"session_id": it.ID, "is_active": it.IsActive}
		for name, value := range map[string]time.Time{
			"created_at": it.CreatedAt, "expires_at": it.ExpiresAt, "deactivated_at": it.DeactivatedAt,
			"last_used_at": it.LastUsedAt, "max_expires_at": it.MaxExpiresAt, "auth_time": it.AuthTime,
		} {
			if !value.IsZero() {
				session[name] = value.Unix()
			}
		}
		for name, value := range map[string]string{
			"ip_address": it.IPAddress, "user_agent": it.UserAgent, "client_id": it.ClientID,
			"deactivation_reason": it.DeactivationReason,
		} {
			if value != "" {
				session[name] = value
			}
		}
		for name, value := range it.Other {
			session[name] = value.(*types.AttributeValueMemberS).Value
		}
		answer = append(answer, session)
	}
	return answer
}
