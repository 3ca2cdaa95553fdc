// Calls an example's functions: reads one call per line of JSON, and writes one result per line.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"strconv"
	"time"

	"example.com/sessions"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// The local DynamoDB does not check credentials.
func credentials(context.Context) (aws.Credentials, error) {
	return aws.Credentials{AccessKeyID: "local", SecretAccessKey: "local"}, nil
}

func main() {
	all := sessions.New(dynamodb.New(dynamodb.Options{
		Region:      "us-east-1",
		Credentials: aws.CredentialsProviderFunc(credentials),
		// The SDKs of all supported Debian releases have this option.
		EndpointResolver: dynamodb.EndpointResolverFromURL(os.Getenv("AWS_ENDPOINT_URL_DYNAMODB")),
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
	case "login":
		attributes := sessions.Item{}
		if len(call) > 4 {
			for name, value := range call[4].(map[string]any) {
				if number, ok := value.(float64); ok {
					attributes[name] = &types.AttributeValueMemberN{Value: strconv.FormatInt(int64(number), 10)}
					continue
				}
				attributes[name] = &types.AttributeValueMemberS{Value: value.(string)}
			}
		}
		return all.Login(ctx, text(1), text(2), at(3), attributes)
	case "refresh":
		return all.Refresh(ctx, text(1), text(2), at(3))
	case "logout":
		return all.Logout(ctx, text(1), text(2))
	case "revoke":
		return all.Revoke(ctx, text(1), text(2))
	case "add_refresh_token":
		return all.AddRefreshToken(ctx, text(1), text(2), text(3), at(4))
	case "rotate_refresh_token":
		return all.RotateRefreshToken(ctx, text(1), text(2), text(3), text(4), at(5))
	case "blacklist":
		return all.Blacklist(ctx, text(1), text(2), at(3))
	case "access_token_claims":
		life := time.Duration(call[7].(float64)) * time.Second
		return all.AccessTokenClaims(text(1), text(2), at(3), text(4), text(5), text(6), life)
	}
	panic(text(0))
}
