-- Which calls are over, of those that are due for a look. KEYS: open_calls, callers. args: claim_prefix, look_every_ms,
-- again_ms (so long the others leave a call alone that is returned), most (to look at now).
-- A call is over some time after its room is, or when it has had neither a caller nor an agent for a while.
-- Returns {id, ...}.
local now, out = now_ms(), {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, args.most)) do
  local known = redis.call('HMGET', log_of(id), 'room', 'over_ms', 'left_ms', 'lost_ms', 'opened_ms')
  local room, over = known[1], known[2]
  local due
  if not room then
    redis.call('ZREM', KEYS[1], id)
  elseif over then
    due = over + FLUSH_MS
  elseif redis.call('EXISTS', args.claim_prefix .. room) == 1 or redis.call('ZSCORE', KEYS[2], room) then
    due = now + args.look_every_ms
  else
    due = math.max(tonumber(known[3] or 0), tonumber(known[4] or 0), tonumber(known[5])) + ENDS_AFTER_MS
  end
  if due and due <= now then
    out[#out + 1] = id
    due = now + args.again_ms
  end
  if due then
    redis.call('ZADD', KEYS[1], due, id)
  end
end
return out
