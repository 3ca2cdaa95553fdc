import type { DynamoDBDocumentClient } from "@aws-sdk/lib-dynamodb";

export declare const Outcome: {
  readonly DONE: "done";
  readonly EXISTS: "exists";
  readonly ENDED: "ended";
  readonly NOT_FOUND: "not found";
  readonly REUSED: "reused";
};

type Created = "done" | "exists";
type Changed = "done" | "ended" | "not found";

export interface Options {
  retentionDays?: number;
  shards?: number;
  graceSeconds?: number;
  accessTokenSeconds?: number;
  now?: () => number;
}

export interface Attributes {
  ip_address?: string;
  user_agent?: string;
  client_id?: string;
  auth_time?: number;
  max_expires_at?: number;
  [name: string]: unknown;
}

export interface Login {
  session: string;
  refreshToken: string;
  expiresAt: number;
}

export type Refresh =
  | { outcome: "done"; refreshToken: string; expiresAt: number }
  | { outcome: "ended" | "not found" | "reused"; refreshToken?: undefined; expiresAt?: undefined };

export interface Session extends Attributes {
  session_id: string;
  user_id?: string;
  is_active?: boolean;
  created_at?: number;
  expires_at?: number;
  last_used_at?: number;
  deactivated_at?: number;
  deactivation_reason?: string;
}

export interface AccessTokenClaims {
  iss: string;
  aud: string;
  sub: string;
  sid: string;
  jti: string;
  iat: number;
  exp: number;
  scope: string;
  auth_time?: number;
  client_id?: string;
}

export declare class Sessions {
  constructor(client: DynamoDBDocumentClient, table: string, options?: Options);
  login(user: string, expiresAt: number, attributes?: Attributes): Promise<Login>;
  create(user: string, session: string, expiresAt: number, attributes?: Attributes): Promise<Created>;
  refresh(user: string, session: string, refreshToken: string, expiresAt: number): Promise<Refresh>;
  extend(user: string, session: string, expiresAt: number): Promise<Changed>;
  logout(user: string, session: string): Promise<Changed>;
  revoke(user: string, session: string): Promise<Changed>;
  revokeOthers(user: string, current: string): Promise<number>;
  revokeAll(user: string): Promise<number>;
  list(user: string): Promise<Session[]>;
  addRefreshToken(user: string, session: string, token: string, expiresAt: number): Promise<Created>;
  rotateRefreshToken(
    user: string,
    session: string,
    old: string,
    new_: string,
    expiresAt: number,
  ): Promise<Created | Changed>;
  blacklist(user: string, jti: string, expiresAt: number): Promise<Created>;
  accessTokenClaims(
    user: string,
    session: string,
    expiresAt: number,
    issuer: string,
    audience: string,
    scope?: string,
    authTime?: number | null,
    clientId?: string | null,
  ): AccessTokenClaims;
}
