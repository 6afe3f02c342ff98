-- Change an outbound call, unless another replica did meanwhile. KEYS: dial, dials, the trunk's calls. args: room, rev
-- (that was seen; -1: there must be none), dial (the new value), active (whether something is left to be done), due_ms
-- (when to look at it next), holds (whether it has its place on the trunk), ttl_ms.
-- Returns 1, or 0: it is another one by now, and nothing was changed.
local before = redis.call('GET', KEYS[1])
local dial = before and read_value(before)
if args.rev < 0 then
  if before then
    return 0
  end
elseif not dial or dial.rev ~= args.rev then
  return 0
end
redis.call('SET', KEYS[1], args.dial, 'PX', args.ttl_ms)
if args.active then
  redis.call('ZADD', KEYS[2], args.due_ms, args.room)
else
  redis.call('ZREM', KEYS[2], args.room)
end
if not args.holds then
  redis.call('ZREM', KEYS[3], args.room)
end
return 1
