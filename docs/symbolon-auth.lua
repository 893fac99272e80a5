-- HAProxy action `lua.symbolon_auth URL`: authenticates the request at Symbolon's endpoint /auth.
-- Requires HAProxy 2.5 or newer. `URL` must contain an IP address.

local IDENTITY = { "x-auth-user-id", "x-auth-username", "x-auth-role", "x-auth-scopes" }

local function refuse(txn, status, response)
  local reply = txn:reply({ status = status })
  if response then
    for _, name in ipairs({ "www-authenticate", "retry-after", "content-type", "cache-control" }) do
      for _, value in pairs(response.headers[name] or {}) do
        reply:add_header(name, value)
      end
    end
    reply:set_body(response.body)
  end
  txn:done(reply)
end

core.register_action("symbolon_auth", { "http-req" }, function(txn, url)
  local headers = {}
  -- Several Authorization headers are sent as they are: Symbolon refuses them.
  for _, value in pairs(txn.http:req_get_headers()["authorization"] or {}) do
    headers["authorization"] = headers["authorization"] or {}
    table.insert(headers["authorization"], value)
  end
  -- The log of Symbolon contains the address of the client.
  headers["x-forwarded-for"] = { txn.f:src() }
  -- HAProxy tries four times, so the time limit is 5 s in all.
  local response = core.httpclient():get({ url = url, headers = headers, timeout = 1250 })
  local status = response and response.status or 0
  if status == 200 then
    for _, name in ipairs(IDENTITY) do
      local values = response.headers[name]
      txn.http:req_del_header(name)
      if values and values[0] then
        txn.http:req_set_header(name, values[0])
      end
    end
  elseif status == 400 or status == 401 or status == 403 or status == 429 or status == 431 then
    refuse(txn, status, response)
  else
    -- Symbolon is unavailable, or the URL is wrong.
    refuse(txn, 503)
  end
end, 1)
