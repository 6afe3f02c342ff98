-- Take, keep or give up a right that one has at a time. KEYS: lease. args: holder, ttl_ms (0: give it up).
-- Returns 1 when the holder has it now; 0: another has it, or it is given up.
local has = redis.call('GET', KEYS[1])
if has and has ~= args.holder then
  return 0
end
if args.ttl_ms == 0 then
  redis.call('DEL', KEYS[1])
  return 0
end
redis.call('SET', KEYS[1], args.holder, 'PX', args.ttl_ms)
return 1
